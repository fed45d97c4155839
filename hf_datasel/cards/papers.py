"""What a card cites, by selection method, and by what a method can be made of."""

from __future__ import annotations


def _paper(
    key: str, title: str, where: str, authors: str, venue: str | None, year: int, *, article: bool = False
) -> dict[str, str]:
    """A paper as TRL's cards take one, title, arXiv id and BibTeX, with a link.

    `where` is the arXiv id or a DOI; `venue` is a conference, a journal where `article`, None for a preprint.
    """
    article = article or venue is None
    fields = {
        "title": f"{{{title}}}",
        "author": authors,
        "journal" if article else "booktitle": venue or f"arXiv preprint arXiv:{where}",
    }
    lines = [f"    {name:<9} = {{{content}}}," for name, content in fields.items()]
    head = f"@{'article' if article else 'inproceedings'}{{{key},"
    paper = {"title": title, "citation": "\n".join([head, *lines, f"    {'year':<9} = {year}", "}"])}
    if where.startswith("10."):
        return {**paper, "url": f"https://doi.org/{where}"}
    return {**paper, "id": where, "url": f"https://arxiv.org/abs/{where}"}


_NEURIPS = "Advances in Neural Information Processing Systems"
_ICLR = "International Conference on Learning Representations"

S2L_PAPER = _paper(
    "yang2024smalltolarge",
    "SmallToLarge (S2L): Scalable Data Selection for Fine-tuning Large Language Models by Summarizing Training "
    "Trajectories of Small Models",
    "2403.07384",
    "Yang, Yu and Mishra, Siddhartha and Chiang, Jeffrey and Mirzasoleiman, Baharan",
    _NEURIPS,
    2024,
)
CLUES_PAPER = _paper(
    "zhao2024clues",
    "CLUES: Collaborative High-Quality Data Selection for LLMs via Training Dynamics",
    "2507.03004",
    "Zhao, Wanru and Fan, Hongxiang and Hu, Shell Xu and Zhou, Wangchunshu and Chen, Bofan and Lane, Nicholas D.",
    _NEURIPS,
    2024,
)
SHED_PAPER = _paper(
    "he2024shed",
    "SHED: Shapley-Based Automated Dataset Refinement for Instruction Fine-Tuning",
    "2405.00705",
    "He, Yexiao and Wang, Ziyao and Shen, Zheyu and Sun, Guoheng and Dai, Yucong and Wu, Yongkai and Wang, Hongyi and "
    "Li, Ang",
    _NEURIPS,
    2024,
)
DSIR_PAPER = _paper(
    "xie2023dsir",
    "Data Selection for Language Models via Importance Resampling",
    "2302.03169",
    "Xie, Sang Michael and Santurkar, Shibani and Ma, Tengyu and Liang, Percy",
    _NEURIPS,
    2023,
)
DATASET_QUANTIZATION_PAPER = _paper(
    "zhou2023dataset",
    "Dataset Quantization",
    "2308.10524",
    "Zhou, Daquan and Wang, Kai and Gu, Jianyang and Peng, Xiangyu and Lian, Dongze and Zhang, Yifan and You, Yang "
    "and Feng, Jiashi",
    "Proceedings of the IEEE/CVF International Conference on Computer Vision",
    2023,
)
IFD_PAPER = _paper(
    "li2024quantity",
    "From Quantity to Quality: Boosting LLM Performance with Self-Guided Data Selection for Instruction Tuning",
    "2308.12032",
    "Li, Ming and Zhang, Yong and Li, Zhitao and Chen, Jiuhai and Chen, Lichang and Cheng, Ning and Wang, Jianzong "
    "and Zhou, Tianyi and Xiao, Jing",
    "Proceedings of the 2024 Conference of the North American Chapter of the Association for Computational "
    "Linguistics: Human Language Technologies",
    2024,
)
DATAINF_PAPER = _paper(
    "kwon2024datainf",
    "DataInf: Efficiently Estimating Data Influence in LoRA-tuned LLMs and Diffusion Models",
    "2310.00902",
    "Kwon, Yongchan and Wu, Eric and Wu, Kevin and Zou, James",
    _ICLR,
    2024,
)
GREATS_PAPER = _paper(
    "wang2024greats",
    "GREATS: Online Selection of High-Quality Data for LLM Training in Every Iteration",
    "10.52202/079017-4169",
    "Wang, Jiachen Tianhao and Wu, Tong and Song, Dawn and Mittal, Prateek and Jia, Ruoxi",
    _NEURIPS,
    2024,
)
IN_RUN_SHAPLEY_PAPER = _paper(
    "wang2025shapley",
    "Data Shapley in One Training Run",
    "2406.11011",
    "Wang, Jiachen T. and Mittal, Prateek and Song, Dawn and Jia, Ruoxi",
    _ICLR,
    2025,
)
BM25_PAPER = _paper(
    "robertson2009bm25",
    "The Probabilistic Relevance Framework: BM25 and Beyond",
    "10.1561/1500000019",
    "Robertson, Stephen and Zaragoza, Hugo",
    "Foundations and Trends in Information Retrieval",
    2009,
    article=True,
)
FACILITY_LOCATION_PAPER = _paper(
    "bhatt2024experimental",
    "An Experimental Design Framework for Label-Efficient Supervised Finetuning of Large Language Models",
    "2401.06692",
    "Bhatt, Gantavya and Chen, Yifang and Das, Arnav M. and Zhang, Jifan and Truong, Sang T. and Mussmann, Stephen "
    "and Zhu, Yinglun and Bilmes, Jeffrey and Du, Simon S. and Jamieson, Kevin and Ash, Jordan T. and "
    "Nowak, Robert D.",
    "Findings of the Association for Computational Linguistics: ACL 2024",
    2024,
)
HIGH_LEARNABILITY_PAPER = _paper(
    "zhou2023lobass",
    "LoBaSS: Gauging Learnability in Supervised Fine-tuning Data",
    "2310.13008",
    "Zhou, Haotian and Liu, Tingkai and Ma, Qianli and Yuan, Jianbo and Liu, Pengfei and You, Yang and Yang, Hongxia",
    None,
    2023,
)
LONGEST_PAPER = _paper(
    "zhao2024long",
    "Long Is More for Alignment: A Simple but Tough-to-Beat Baseline for Instruction Fine-Tuning",
    "2402.04833",
    "Zhao, Hao and Andriushchenko, Maksym and Croce, Francesco and Flammarion, Nicolas",
    "International Conference on Machine Learning",
    2024,
)
MIDDLE_PERPLEXITY_PAPER = _paper(
    "marion2023less",
    "When Less is More: Investigating Data Pruning for Pretraining LLMs at Scale",
    "2309.04564",
    "Marion, Max and Üstün, Ahmet and Pozzobon, Luiza and Wang, Alex and Fadaee, Marzieh and Hooker, Sara",
    None,
    2023,
)
PAPERS: dict[str, dict[str, str]] = {
    "s2l": S2L_PAPER,
    "clues": CLUES_PAPER,
    "shed": SHED_PAPER,
    "dsir": DSIR_PAPER,
    "dataset_quantization": DATASET_QUANTIZATION_PAPER,
    "ifd": IFD_PAPER,
    "datainf": DATAINF_PAPER,
    "bm25": BM25_PAPER,
    "facility_location": FACILITY_LOCATION_PAPER,
    "high_learnability": HIGH_LEARNABILITY_PAPER,
    "longest": LONGEST_PAPER,
    "middle_perplexity": MIDDLE_PERPLEXITY_PAPER,
    "greats": GREATS_PAPER,
    "in_run_shapley": IN_RUN_SHAPLEY_PAPER,
}
