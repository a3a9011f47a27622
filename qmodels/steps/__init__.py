"""The catalogue of steps of post-training methods: one file each, a frozen dataclass of the file's name in CamelCase."""
