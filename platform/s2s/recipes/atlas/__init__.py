"""What an atlas is made of: its plan, one run of it in a worker, its status, its records. Ray is not known here."""
