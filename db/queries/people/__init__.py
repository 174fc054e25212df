"""What people left in the dashboard: drafts, tags and notes, saved views, recipes, votes, chats"""
