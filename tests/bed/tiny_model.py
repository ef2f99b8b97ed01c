"""Make a language model of a few hundred thousand weights: `tiny_model.py FOLDER SEED HIDDEN LAYERS`.

Runs with the Python of the vLLM environment. The tokenizer is trained on that environment's own source text
and the weights are drawn from SEED, so the same arguments give the same model and nothing is downloaded. Its
answers mean nothing, but to the server it is a model like any other: config.json, tokenizer, chat template,
weights.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTEXT_TOKENS = 1024
VOCABULARY = 2048
CHAT_TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"
HEAD_WIDTH = 64
"""vLLM's CPU attention passes start-up with narrower heads and then dies on the first request."""


def make_tokenizer(folder: Path) -> None:
    sources = sorted(Path(transformers.__file__).parent.glob("*.py"))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|bos|>", "<|eos|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((path.read_text() for path in sources), trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "pad_token": "<|pad|>",
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


def make_weights(folder: Path, seed: int, hidden: int, layers: int) -> None:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD_WIDTH,
        num_key_value_heads=hidden // HEAD_WIDTH,
        head_dim=HEAD_WIDTH,
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT_TOKENS,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)


def main() -> None:
    folder = Path(sys.argv[1])
    seed, hidden, layers = map(int, sys.argv[2:])
    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer(folder)
    make_weights(folder, seed, hidden, layers)


if __name__ == "__main__":
    main()
