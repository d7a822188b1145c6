#!/bin/sh
echo "hello from an image that kiln built for @ARCH@"
