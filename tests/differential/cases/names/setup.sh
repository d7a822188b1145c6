mkdir ünï
echo u > ünï/文字
echo q > 'q"uote'
echo b > 'b[r]acket'
echo s > 'a*star'
echo h > '#hash'
echo t > '~tilde'
echo d > '$dollar'
mkdir 'trailing '
echo x > 'trailing /x'
