"""One file that holds a study: what was asked, what came out, and what proves that nothing was changed.

The container is a zip, because every machine can list and unpack one, because single entries can be read without
unpacking the rest, and because the standard library reads and writes it. Nothing in it is compressed: scores,
checkpoints and pictures are compressed already, so the same study gives the same bytes on every machine whatever
its zlib, and a reader that refuses compressed entries cannot be made to unpack more than the file's own size.

    manifest.json                 the request, the environment, size and SHA-256 of every other entry
    specs/resolved.json           every arm with every setting, as it was trained
    specs/experiments/*.yaml      the experiments as they were written
    specs/profiles/*.yaml         the profile
    trials/<id>/                  record.json, trial.json, metrics.jsonl, scores.npz, attempts.jsonl; checkpoint.pt
                                  where it was asked for (study.spec.record)
    launch.json                   what the last launch said of itself
    report/                       the report, where there is one

Digests find what was changed by accident or carelessness. Whoever can rewrite the manifest can rewrite the digests:
compare the archive's own digest (of its manifest) with one that came another way. What cannot be rewritten at all
without training is checked too: metrics must follow from the stored scores, and ids from the settings.
"""
