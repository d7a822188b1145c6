mkdir -p dir/deep djr/deep dkr
echo 1 > one.txt; echo 2 > two.txt; echo 3 > three.md
echo a > dir/a.c; echo b > dir/b.c; echo h > dir/h.h
echo j > djr/j.c; echo x > dir/deep/x; echo y > djr/deep/y
echo k > dkr/a; echo k > dkr/k
echo odd > '[odd].txt'
