"""The operations of Drumbeat for services and the command line: typed asynchronous functions over one connection."""
