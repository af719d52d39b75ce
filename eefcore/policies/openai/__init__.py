"""Ask models behind the OpenAI interface: servers of vLLM, SGLang or llama.cpp, and hosted models.

options     `openai:<base url>#<model>?<options>` read and checked
interface   what is sent to each kind of server, and how its answers are read
client      requests sent, repeated and refused
answers     answers kept, so that a rerun costs nothing
prices      dollars: prices, a budget, and what was paid
policy      the policy that asks
lease       a vLLM server of the run, asked for and kept
serving     a saved model played by a vLLM server
"""
