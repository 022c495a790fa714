"""One command a file, each with its own table. Imports whatever its command needs; only the door imports it."""
