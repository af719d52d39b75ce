"""The command `eef`: run params files, show runs, build reports, import and export data."""
