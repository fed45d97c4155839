"""Fine-tune with TRL."""

from datasets import load_dataset
from hf_datasel import SelectingSFTConfig, SelectingSFTTrainer

trainer = SelectingSFTTrainer(
    model="Qwen/Qwen3-0.6B",
    args=SelectingSFTConfig(output_dir="out", proxy_model="EleutherAI/pythia-70m", selection_budget=0.11),
    train_dataset=load_dataset("json", data_files="data.jsonl", split="train"),
)
trainer.train()
