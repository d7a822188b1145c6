echo one > one.txt
echo two > two.txt
echo spaced > "with space.txt"
