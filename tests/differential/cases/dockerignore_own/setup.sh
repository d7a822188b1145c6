touch a b c
