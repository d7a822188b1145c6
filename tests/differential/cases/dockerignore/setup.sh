mkdir -p dir/sub/deep node_modules/x logs build/out .git docs/a docs/b
touch dir/a.o dir/a.c dir/sub/b.o dir/sub/deep/c.o dir/sub/deep/keep.o
touch node_modules/x/y logs/1.log logs/2.log logs/keep.log build/out/x build/keep .git/config
touch docs/a/1.md docs/a/1.txt docs/b/2.md docs/README.md .env .env.example x.tmp a.tmp
touch "with space" q1 q2 q22
