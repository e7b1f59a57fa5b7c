"""What can go wrong with a dataset: it is not here, or it is not what it should be."""


class DatasetError(Exception):
    """A dataset cannot be used. The first line of the message says why by itself; further lines say what to do."""


class DatasetNotFoundError(DatasetError, FileNotFoundError):
    """A dataset is unknown, or known but not on this machine, and nothing allows downloading it."""


class DatasetCorruptError(DatasetError, ValueError):
    """A file was found, but its content is not the dataset's. Nothing is computed on it and it is left as it is."""


class DatasetArgumentError(DatasetError, ValueError):
    """An argument is not allowed. The message is one line: its name, the value, what is allowed."""


class NotHere(Exception):
    """Internal: a folder does not hold the dataset that was looked for; the message is a short note why."""
