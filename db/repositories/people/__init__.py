"""Every write of what people leave beside runs: drafts, recipes of columns, chats"""
