mkdir -p t/sub
echo f > t/file; echo g > t/sub/file; chmod 711 t/sub; chmod 600 t/file
ln -s file t/link; ln t/file t/hard
mkfifo t/fifo
tar() { command tar --sort=name --mtime=@981173106 --owner=11 --group=12 --numeric-owner "$@"; }
tar -C t -cf plain.tar .
tar -C t -czf gz.tar.gz .
tar -C t -cjf bz.tar.bz2 .
tar -C t -cJf xz.tar.xz .
tar -C t -cf named.txt .
echo 'no archive' | gzip -n > notar.gz
rm -r t
