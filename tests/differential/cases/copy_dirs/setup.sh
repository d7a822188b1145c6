mkdir -p tree/sub/deep other empty
echo 1 > tree/file
echo 2 > tree/sub/file
echo 3 > tree/sub/deep/file
echo 4 > other/file
echo 5 > other/more
chmod 700 tree/sub/deep
chmod 750 tree/sub
chmod 4755 tree/file
chmod 1777 empty
