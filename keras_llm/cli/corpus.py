"""The verbs from raw text to rows: curate, tokenize, pack."""

from pathlib import Path
from typing import Annotated, Any

import typer

from keras_llm.cli import curate_options as options
from keras_llm.cli.app import verb
from keras_llm.cli.console import check_output, command, report
from keras_llm.cli.data_engine import asked_executor, work_of

Corpus = Annotated[
    Path, typer.Argument(help="The folder that `keras-llm curate` wrote.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace an earlier result in the folder."),
]


@verb(
    "keras-llm curate notes/ books.jsonl --output runs/corpus",
    "keras-llm curate --standard-library",
    "keras-llm curate pages/ --clean --recipe fineweb --unit page "
    "--near-duplicates 0.7 --decontaminate downloads/benchmarks/ --privacy",
    "keras-llm curate web/ --workers 8",
    "keras-llm curate web/ --engine dask --scheduler tcp://10.0.0.1:8786",
    "keras-llm curate status runs/corpus",
)
def curate(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files and folders: text, source code, HTML, .jsonl, .csv, "
            ".parquet, .warc, also .gz and .zst. The word status and an "
            "output: how far it is."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="The corpus folder to write.")
    ] = Path("runs/corpus"),
    standard_library: Annotated[
        bool,
        typer.Option(
            "--standard-library",
            help="Take the documentation and source of this Python.",
        ),
    ] = False,
    text_field: Annotated[
        str, typer.Option(help="Field of .jsonl, column of .parquet.")
    ] = "text",
    encoding: Annotated[
        str,
        typer.Option(help="Encoding of text and .jsonl; detect finds it."),
    ] = "utf-8",
    bad_bytes: Annotated[
        str,
        typer.Option(help="strict: an error. replace: put U+FFFD there."),
    ] = "strict",
    minimum_length: Annotated[
        int, typer.Option(help="Drop documents with fewer characters.")
    ] = 200,
    longest: Annotated[
        int | None,
        typer.Option(
            help="Cut longer documents at blank lines; off unless set."
        ),
    ] = None,
    heldout: Annotated[
        float, typer.Option(help="Share of documents kept for evaluation.")
    ] = 0.02,
    seed: Annotated[int, typer.Option(help="Seed of the held-out split.")] = 0,
    clean: options.Clean = False,
    recipe: options.Recipe = None,
    unit: options.Unit = None,
    languages: options.Languages = None,
    block_list: options.BlockList = None,
    perplexity: options.Perplexity = None,
    keep_bits: options.KeepBits = None,
    near_duplicates: options.NearDuplicates = None,
    repeated_lines: options.RepeatedLines = None,
    decontaminate: options.Decontaminate = None,
    privacy: options.Privacy = False,
    licenses: options.Licenses = None,
    opt_out: options.OptOut = None,
    workers: options.Workers = None,
    engine: options.Engine = None,
    scheduler: options.Scheduler = None,
    work: options.Work = None,
    force: Force = False,
) -> None:
    """Turn files into a clean corpus, every drop counted with its reason.

    Text is repaired (NFC, mojibake); short documents and exact duplicates are
    dropped; whole documents are held out for evaluation. The other steps are
    done where an option asks for them. A run that was stopped goes on when it
    is called again.
    """
    from keras_llm import data
    from keras_llm.cli.curating import (
        STATUS,
        corpus_facts,
        engine_of,
        show_speed,
        show_status,
        sources_of,
    )
    from keras_llm.executors import open_executor

    if paths and paths[0] == STATUS:
        show_status(paths[1:])
        return
    check_output(output, force)
    steps = options.Asked(
        minimum_length=minimum_length,
        longest=longest,
        clean=clean,
        recipe=recipe,
        unit=unit,
        languages=languages,
        block_list=block_list,
        perplexity=perplexity,
        keep_bits=keep_bits,
        near_duplicates=near_duplicates,
        repeated_lines=repeated_lines,
        decontaminate=tuple(decontaminate or ()),
        privacy=privacy,
        licenses=licenses,
        opt_out=opt_out,
    ).steps()
    sources = sources_of(
        paths, standard_library, text_field, encoding, bad_bytes
    )
    asked = engine_of(sources, engine, workers, scheduler)
    with open_executor(asked, workers, scheduler) as executor:
        done = data.curate_shards(
            *(sources, output, executor, heldout, seed, steps),
            work=work,
            restart=force,
        )
    show_speed(output)
    report(
        f"Curated {output}",
        corpus_facts(done),
        command("tokenize", output),
    )


@verb(
    "keras-llm tokenize runs/corpus --vocabulary-size 8192",
    "keras-llm tokenize runs/corpus --existing gpt2/tokenizer.json",
)
def tokenize(
    corpus: Corpus = Path("runs/corpus"),
    output: Annotated[
        Path, typer.Option(help="The tokenizer folder to write.")
    ] = Path("runs/tokenizer"),
    vocabulary_size: Annotated[
        int, typer.Option(help="Number of tokens, special ones included.")
    ] = 8192,
    pattern: Annotated[
        str,
        typer.Option(help="How text is split: gpt2, gpt4, llama3 or qwen2."),
    ] = "gpt2",
    existing: Annotated[
        Path | None,
        typer.Option(
            help="Take this tokenizer instead of training one: a folder, "
            "tokenizer.json, vocab.json or a tiktoken file."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Train a byte-level BPE tokenizer on a corpus.

    The same corpus and options give the same tokenizer. The table says how
    many bytes of held-out text one token carries: more means shorter rows.
    """
    from keras_llm.data import read_corpus
    from keras_llm.tokenizers import HostTokenizer, load_host

    check_output(output, force)
    if existing:
        tokenizer = load_host(existing)
    else:
        texts = (document.text for document in read_corpus(corpus))
        tokenizer = HostTokenizer.train(texts, vocabulary_size, pattern)
    asked = None if existing else vocabulary_size
    size = tokenizer.vocabulary_size
    facts = {
        "vocabulary": size
        if size == (asked or size)
        else f"{size:,}: the corpus has no more pairs to merge",
        "special tokens": " ".join(tokenizer.special_tokens),
        "bytes per token": f"{_bytes_per_token(corpus, tokenizer):.2f}",
        "fingerprint": tokenizer.fingerprint[:16],
    }
    tokenizer.save(output)
    report(
        f"Tokenizer {output}",
        facts,
        command("pack", corpus, "--tokenizer", output),
    )


@verb(
    "keras-llm pack runs/corpus --context-length 512",
    "keras-llm pack runs/corpus --workers 8",
    "keras-llm pack runs/corpus --engine dask --scheduler tcp://host:8786",
)
def pack(
    corpus: Corpus = Path("runs/corpus"),
    tokenizer: Annotated[
        Path, typer.Option(help="The folder `keras-llm tokenize` wrote.")
    ] = Path("runs/tokenizer"),
    output: Annotated[
        Path, typer.Option(help="The folder of rows to write.")
    ] = Path("runs/rows"),
    context_length: Annotated[
        int, typer.Option(help="Tokens that the model sees at once.")
    ] = 512,
    workers: options.Workers = None,
    engine: options.Engine = None,
    scheduler: options.Scheduler = None,
    work: options.Work = None,
    force: Force = False,
) -> None:
    """Pack documents into rows of one length, with hashes in a manifest.

    Documents that share a row do not see each other: their segments are kept.
    The rows are the same bytes whoever makes them. With several processes a
    run that was stopped goes on when it is called again.
    """
    from keras_llm.data import pack_corpus
    from keras_llm.tokenizers import load_host

    check_output(output, force)
    encoder = load_host(tokenizer)
    asked = asked_executor(corpus, engine, workers, scheduler, work)
    with asked as executor:
        place = work_of(output, work) if executor else None
        manifest = pack_corpus(
            *(corpus, encoder, output, context_length),
            executor=executor,
            work=place,
        )
    report(
        f"Packed {output}",
        {"context length": context_length, **_row_facts(manifest)},
        command("train", output, "--tokenizer", tokenizer),
    )


def _bytes_per_token(corpus: Path, tokenizer: Any) -> float:
    """Measures the tokenizer on held-out text, or else on what it saw."""
    from keras_llm.data import read_corpus

    split = "heldout" if (corpus / "heldout.jsonl").exists() else "train"
    size = tokens = 0
    for document in read_corpus(corpus, split):
        size += len(document.text.encode("utf-8"))
        ids = tokenizer.encode(document.text, disallowed_special=())
        tokens += len(ids)
    return size / max(tokens, 1)


def _row_facts(manifest: Any) -> dict[str, Any]:
    """Says what each side of the packed rows holds."""
    facts: dict[str, Any] = {}
    for name, split in manifest.splits.items():
        facts[f"{name} rows"] = split.rows
        facts[f"{name} tokens"] = split.tokens
        facts[f"{name} padding"] = f"{split.padding_share:.1%}"
    return facts
