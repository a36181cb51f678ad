"""Facts about kinds of boards, one YAML file each."""
