mkdir t; echo f > t/file
tar --sort=name --mtime=@981173106 --owner=11 --group=12 --numeric-owner -C t -cf a.tar .
rm -r t
