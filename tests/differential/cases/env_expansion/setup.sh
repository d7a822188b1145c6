echo three > 3.txt
