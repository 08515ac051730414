"""All dashboards, and every series of ours."""

from rayrank.data import series as data
from rayrank.monitor import data as of_data
from rayrank.monitor import serving as of_serving
from rayrank.monitor import training as of_training
from rayrank.run import series as run
from rayrank.serve import series as serve
from rayrank.train import series as train

DASHBOARDS = (of_data.DASHBOARD, of_training.DASHBOARD, of_serving.DASHBOARD)
SERIES = (*data.SERIES, *run.SERIES, *train.SERIES, *serve.SERIES)
