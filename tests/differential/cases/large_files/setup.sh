yes 'a line of a large file' | head -c 20000000 > big
truncate -s 30000000 sparse
