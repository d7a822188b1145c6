echo f > file; echo s3 > token
