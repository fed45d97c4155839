"""Fine-tune with transformers.Trainer."""

from datasets import load_dataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)

tokenizer = AutoTokenizer.from_pretrained("EleutherAI/pythia-70m")
tokenizer.pad_token = tokenizer.eos_token


def tokenize(row):
    return tokenizer(row["prompt"] + row["completion"], truncation=True, max_length=512)


dataset = load_dataset("json", data_files="data.jsonl", split="train")
dataset = dataset.map(tokenize, remove_columns=dataset.column_names)

trainer = Trainer(
    model=AutoModelForCausalLM.from_pretrained("EleutherAI/pythia-70m"),
    args=TrainingArguments(output_dir="out"),
    train_dataset=dataset,
    data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
)
trainer.train()
