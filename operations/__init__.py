"""What services and the command line ask of Drumbeat: typed asynchronous functions over one connection."""
