"""Messages to webhooks about runs that ended: who is told, what is said, and how it gets there"""
