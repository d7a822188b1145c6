mkdir -p more/sub
echo f > more/file
echo g > more/sub/file
