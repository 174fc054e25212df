"""Commands on what people leave in the dashboard: drafts, saved views, votes, chats"""
