"""Write a bill of materials of each image's Python packages: build/sbom/*.cdx.json, CycloneDX 1.6.

    make sbom

What is listed is what the image's locks hold, wheels' SHA-256 included. Licences are those of the
packages installed here, where they are the same versions. Debian's packages are not in it:
`docker buildx build --sbom=true` lists those of the image that it has built.
"""

import tomllib
import uuid
from importlib.metadata import PackageNotFoundError, metadata

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from locks import ROOT, TARGETS, read
from packageurl import PackageURL

OUT = ROOT / "build" / "sbom"
SCHEMA = SchemaVersion.V1_6
OSI = "License :: OSI Approved :: "
LONGEST_NAME = 80
"""Some put the whole text where a licence's name belongs."""


def licence(name: str, version: str) -> License | None:
    """As the installed package tells it; None where it tells none, or is another version."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return None
    if told["Version"] != version:
        return None
    if expressions := told.get_all("License-Expression"):
        return LicenseFactory().make_from_string(expressions[0])
    classifiers = told.get_all("Classifier") or []
    names = [one.removeprefix(OSI) for one in classifiers if one.startswith(OSI)]
    given = told.get_all("License") or [""]
    name_of = given[0].strip() or " and ".join(sorted(names))
    if not name_of or len(name_of) > LONGEST_NAME or "\n" in name_of:
        return None
    return DisjunctiveLicense(name=name_of)


def bill(target: str) -> Bom:
    """Of one image."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    image = Component(
        name=f"rayrank-{target}",
        version=project["version"],
        type=ComponentType.CONTAINER,
        bom_ref=f"rayrank-{target}",
    )
    bom = Bom()
    bom.metadata.component = image
    rayrank = Component(
        name="rayrank",
        version=project["version"],
        type=ComponentType.LIBRARY,
        bom_ref="rayrank",
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    components = [rayrank]
    for name, version, digest in read(target):
        said = licence(name, version)
        components.append(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                bom_ref=f"{name}=={version}",
                purl=PackageURL("pypi", name=name, version=version),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
                licenses=[] if said is None else [said],
            )
        )
    for component in components:
        bom.components.add(component)
    bom.register_dependency(image, components)
    # The same packages have the same number.
    content = "\n".join(sorted(str(component.bom_ref) for component in components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, f"rayrank-{target}\n{content}")
    return bom


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        bom = bill(target)
        file = OUT / f"{target}.cdx.json"
        text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=1)
        file.write_text(text)
        licensed = sum(bool(component.licenses) for component in bom.components)
        told = f"{len(bom.components)} packages, licences of {licensed}"
        print(f"{file.relative_to(ROOT)}: {told}")


if __name__ == "__main__":
    main()
