"""The whole service with an MLLM that sleeps instead of computing, so that one machine can have many replicas."""
