#!/usr/bin/perl
use strict;
open(my $f, "<", "seed") or die "no seed: $!";
print "perl of uid $<: ", <$f>;
