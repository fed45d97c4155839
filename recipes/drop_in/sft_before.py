"""Fine-tune with TRL."""

from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

trainer = SFTTrainer(
    model="Qwen/Qwen3-0.6B",
    args=SFTConfig(output_dir="out"),
    train_dataset=load_dataset("json", data_files="data.jsonl", split="train"),
)
trainer.train()
