"""LlamaIndex: its model for OpenAI-like APIs, its agent, and a property graph index."""

import asyncio
from typing import Any, Literal

from llama_index.core import Document, PropertyGraphIndex
from llama_index.core.agent.workflow import AgentOutput, AgentStream, FunctionAgent
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices.property_graph import LLMSynonymRetriever, SchemaLLMPathExtractor
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from scenarios import (
    BOTH,
    COMPARE,
    DESCRIBE,
    DESCRIBE_BY_CALL,
    HELLO,
    PLAIN,
    Ask,
    cities_queried,
    get_weather,
    report,
)


def model(case: Ask = PLAIN, **options: Any) -> OpenAILike:
    return OpenAILike(
        api_base=case.url,
        api_key=case.key,
        model=case.model,
        max_retries=case.retries,
        additional_kwargs={"top_p": case.top_p},
        is_chat_model=True,
        is_function_calling_model=True,
        **options,
    )


class City(BaseModel):
    """A city."""

    name: str
    degrees: int


def prompt(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="system", content="Be brief."), ChatMessage(text)]


def ask(case: Ask) -> str:
    return model(case).chat(prompt(case.text)).message.content


def pieces(case: Ask) -> list[str]:
    return [chunk.delta for chunk in model(case).stream_chat(prompt(case.text)) if chunk.delta]


def loop(question: str) -> dict:
    async def run() -> tuple[int, str]:
        agent = FunctionAgent(tools=[get_weather], llm=model(), system_prompt="Be brief.")
        handler = agent.run(question)
        turns = sum([isinstance(event, AgentOutput) async for event in handler.stream_events()])
        return turns, str(await handler)

    turns, answer = asyncio.run(run())
    return {"turns": turns, "ran": sorted(cities_queried, reverse=True), "answer": answer}


def tool_loop() -> dict:
    return loop(COMPARE)


def parallel_calls() -> dict:
    return loop(BOTH)


def structured_output() -> dict:
    structured = model(should_use_structured_outputs=True)
    return structured.structured_predict(City, PromptTemplate(DESCRIBE)).model_dump()


def structured_by_call() -> dict:
    return model().structured_predict(City, PromptTemplate(DESCRIBE_BY_CALL)).model_dump()


def reasoning() -> dict:
    async def streamed() -> str:
        handler = FunctionAgent(llm=model()).run(HELLO)
        events = [e async for e in handler.stream_events() if isinstance(e, AgentStream)]
        return "".join(event.thinking_delta or "" for event in events)

    blocks = model().chat(prompt(HELLO)).message.blocks
    whole = "".join(block.content for block in blocks if block.block_type == "thinking")
    return {"whole": whole, "streamed": asyncio.run(streamed())}


def graph() -> dict:
    """Extracts a graph from a text by tool calls and answers a question from it, no embeddings."""
    extractor = SchemaLLMPathExtractor(
        model(),
        possible_entities=Literal["PERSON", "ELEMENT"],
        possible_relations=Literal["DISCOVERED"],
        kg_validation_schema=[("PERSON", "DISCOVERED", "ELEMENT")],
        num_workers=1,
    )
    index = PropertyGraphIndex.from_documents(
        [Document(text="Marie Curie discovered radium in 1898.")],
        llm=model(),
        kg_extractors=[extractor],
        embed_kg_nodes=False,
        embed_model=MockEmbedding(1),
    )
    store = index.property_graph_store
    retriever = LLMSynonymRetriever(store, llm=model(), include_text=False)
    engine = index.as_query_engine(llm=model(), sub_retrievers=[retriever])
    answer = engine.query("Who discovered radium?")
    return {"found": [node.text for node in answer.source_nodes], "answer": str(answer)}


report(
    ask, pieces, tool_loop, parallel_calls, structured_output, structured_by_call, reasoning, graph
)
