#!/bin/bash
# The last script: from here on the data is kept, whatever happens (start.sh).
rm -f /var/lib/mysql/.being-made
