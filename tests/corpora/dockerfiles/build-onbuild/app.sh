#!/bin/sh
echo "app $1 by ${WHO:-nobody}"
[ "$1" = --check ] || cat /checked
