echo f > file
mkdir -p tree/sub
echo g > tree/sub/file
