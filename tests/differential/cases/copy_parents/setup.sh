mkdir -p a/b/c a/d
echo 1 > a/b/file; echo 2 > a/d/file; echo 3 > a/b/c/deep.txt; echo 4 > x.txt; echo 5 > a/d/no.txt
chmod 711 a/d
