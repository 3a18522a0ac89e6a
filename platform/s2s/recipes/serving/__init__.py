"""What the service does, without HTTP and without Ray: who may, which models answer, an answer, a job."""
