echo f > file
mkdir -p tree/sub
echo g > tree/sub/file
chmod 755 tree/sub/file
ln -s file tree/sub/link
