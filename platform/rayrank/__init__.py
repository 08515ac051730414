"""rayrank: generative ranking on Ray, from exposure logs to scores over HTTP."""
