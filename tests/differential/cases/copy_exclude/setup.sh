mkdir -p tree/sub/deep tree/empty
echo 1 > tree/file; echo 2 > tree/a.md; echo 3 > tree/sub/b.md; echo 4 > tree/sub/c; echo 5 > tree/sub/deep/d.md
