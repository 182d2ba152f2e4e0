"""OpenAI's API as plain data: requests validated on the way in, objects made on the way out.

Rule: pure. It knows neither who is asking nor which engine answers.
"""
