#!/bin/sh
echo "hello from PLUGIN_NAME"
