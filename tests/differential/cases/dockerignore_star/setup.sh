mkdir -p sub/deep other; touch sub/keep sub/drop sub/deep/keep other/x top
