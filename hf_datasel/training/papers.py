"""What a model card cites, by selection method."""

S2L_PAPER = {
    "title": "SmallToLarge (S2L): Scalable Data Selection for Fine-tuning Large Language Models by Summarizing "
    "Training Trajectories of Small Models",
    "id": "2403.07384",
    "citation": "@inproceedings{yang2024smalltolarge,\n"
    "    title     = {{SmallToLarge (S2L): Scalable Data Selection for Fine-tuning Large Language Models by "
    "Summarizing Training Trajectories of Small Models}},\n"
    "    author    = {Yang, Yu and Mishra, Siddhartha and Chiang, Jeffrey and Mirzasoleiman, Baharan},\n"
    "    booktitle = {Advances in Neural Information Processing Systems},\n"
    "    year      = 2024\n"
    "}",
}
CLUES_PAPER = {
    "title": "CLUES: Collaborative High-Quality Data Selection for LLMs via Training Dynamics",
    "id": "2507.03004",
    "citation": "@inproceedings{zhao2024clues,\n"
    "    title     = {{CLUES: Collaborative High-Quality Data Selection for LLMs via Training Dynamics}},\n"
    "    author    = {Zhao, Wanru and Fan, Hongxiang and Hu, Shell Xu and Zhou, Wangchunshu and Chen, Bofan and "
    "Lane, Nicholas D.},\n"
    "    booktitle = {Advances in Neural Information Processing Systems},\n"
    "    year      = 2024\n"
    "}",
}
SHED_PAPER = {
    "title": "SHED: Shapley-Based Automated Dataset Refinement for Instruction Fine-Tuning",
    "id": "2405.00705",
    "citation": "@inproceedings{he2024shed,\n"
    "    title     = {{SHED: Shapley-Based Automated Dataset Refinement for Instruction Fine-Tuning}},\n"
    "    author    = {He, Yexiao and Wang, Ziyao and Shen, Zheyu and Sun, Guoheng and Dai, Yucong and Wu, Yongkai and "
    "Wang, Hongyi and Li, Ang},\n"
    "    booktitle = {Advances in Neural Information Processing Systems},\n"
    "    year      = 2024\n"
    "}",
}
PAPERS: dict[str, dict[str, str]] = {"s2l": S2L_PAPER, "clues": CLUES_PAPER, "shed": SHED_PAPER}
