mkdir -p tree/sub
echo b > tree/file
echo new > tree/sub/new
echo f > file
chmod 755 tree
