"""The run half: a session over the native core, and what turns text into its inputs."""
