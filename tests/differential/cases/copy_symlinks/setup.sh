mkdir dir
echo f > file
echo g > dir/file
ln -s file link
ln -s dir dirlink
ln -s dir linked
ln -s ../file dir/up
ln -s nowhere dir/dangling
ln -s /etc/passwd dir/absolute
